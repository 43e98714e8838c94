"""C text of the custom call target that runs kernels on the threads of XLA.

Threads of our own would compete with those: after its work, a team of OpenMP spins
for a while on the cores that XLA's next operation wants.
"""

TARGET_SOURCE = r"""
#include "xla/ffi/api/c_api.h"

static XLA_FFI_Error *error(XLA_FFI_CallFrame *frame, const char *message) {
    XLA_FFI_Error_Create_Args args = {0};
    args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
    args.message = message;
    args.errc = XLA_FFI_Error_Code_INTERNAL;
    return frame->api->XLA_FFI_Error_Create(&args);
}

static void ignore(XLA_FFI_CallFrame *frame, XLA_FFI_Error *failure) {
    if (!failure) return;
    XLA_FFI_Error_Destroy_Args args = {0};
    args.struct_size = XLA_FFI_Error_Destroy_Args_STRUCT_SIZE;
    args.error = failure;
    frame->api->XLA_FFI_Error_Destroy(&args);
}

static void call_for_help(void *context, Work *work) {
    XLA_FFI_CallFrame *frame = context;
    int64_t threads = 1;
    XLA_FFI_ThreadPool_NumThreads_Args size = {0};
    size.struct_size = XLA_FFI_ThreadPool_NumThreads_Args_STRUCT_SIZE;
    size.ctx = frame->ctx;
    size.num_threads = &threads;
    ignore(frame, frame->api->XLA_FFI_ThreadPool_NumThreads(&size));
    for (int64_t i = 1; i < threads && i < work->parts; i++) {
        XLA_FFI_ThreadPool_Schedule_Args args = {0};
        args.struct_size = XLA_FFI_ThreadPool_Schedule_Args_STRUCT_SIZE;
        args.ctx = frame->ctx;
        args.task = help;
        args.data = work;
        atomic_fetch_add(&work->holders, 1);
        XLA_FFI_Error *failure = frame->api->XLA_FFI_ThreadPool_Schedule(&args);
        if (failure) leave(work);
        ignore(frame, failure);
    }
}

XLA_FFI_Error *keras_spiking_call(XLA_FFI_CallFrame *frame) {
    XLA_FFI_Extension_Base *extension = frame->extension_start;
    if (extension && extension->type == XLA_FFI_Extension_Metadata) {
        XLA_FFI_Metadata *metadata =
            ((XLA_FFI_Metadata_Extension *)extension)->metadata;
        metadata->api_version.major_version = XLA_FFI_API_MAJOR;
        metadata->api_version.minor_version = XLA_FFI_API_MINOR;
        return 0;
    }
    void *in[64], *out[64];
    const int inputs = frame->args.size, outputs = frame->rets.size;
    if (inputs > 64 || outputs > 64) return error(frame, "too many arrays");
    for (int i = 0; i < inputs; i++)
        in[i] = ((XLA_FFI_Buffer *)frame->args.args[i])->data;
    for (int i = 0; i < outputs; i++)
        out[i] = ((XLA_FFI_Buffer *)frame->rets.rets[i])->data;
    const uint64_t number =
        *(uint64_t *)((XLA_FFI_Scalar *)frame->attrs.attrs[0])->value;
    kernel *function = find(number);
    if (!function) return error(frame, "this process has not made the kernel");
    /* The first array is a sequence (batch, time, features). */
    const int64_t *sizes = ((XLA_FFI_Buffer *)frame->args.args[0])->dims;
    if (run(function, sizes, in, out, call_for_help, frame))
        return error(frame, "out of memory");
    return 0;
}
"""
