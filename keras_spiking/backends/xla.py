"""C text of the custom call targets that run kernels for XLA, on CPUs and on GPUs."""

from keras_spiking.backends.kernels import cuda
from keras_spiking.backends.kernels import entry

_COMMON_SOURCE = r"""
#include "xla/ffi/api/c_api.h"

static XLA_FFI_Error *error(XLA_FFI_CallFrame *frame, const char *message) {
    XLA_FFI_Error_Create_Args args = {0};
    args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
    args.message = message;
    args.errc = XLA_FFI_Error_Code_INTERNAL;
    return frame->api->XLA_FFI_Error_Create(&args);
}

/* XLA asks for the version before it calls. */
static int answers_version(XLA_FFI_CallFrame *frame, XLA_FFI_Handler_Traits traits) {
    __auto_type extension = frame->extension_start; /* its type has had two names */
    if (!extension || extension->type != XLA_FFI_Extension_Metadata) return 0;
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    metadata->traits = traits;
    return 1;
}

#define MAX_ARRAYS 128
typedef struct {
    const Kernel *kernel;
    const int64_t *sizes; /* as the call gives them, or those of the first array */
    int inputs, arrays;
    void *data[MAX_ARRAYS]; /* inputs, then outputs */
} Call;

/* `offset` is added to the number of the kernel. */
static XLA_FFI_Error *read_call(XLA_FFI_CallFrame *frame, uint64_t offset, Call *call) {
    call->inputs = frame->args.size;
    call->arrays = call->inputs + frame->rets.size;
    if (call->arrays > MAX_ARRAYS) return error(frame, "too many arrays");
    XLA_FFI_Buffer **in = (XLA_FFI_Buffer **)frame->args.args;
    XLA_FFI_Buffer **out = (XLA_FFI_Buffer **)frame->rets.rets;
    for (int i = 0; i < call->arrays; i++)
        call->data[i] = (i < call->inputs ? in[i] : out[i - call->inputs])->data;
    call->sizes = in[0]->dims;
    if (frame->attrs.size > 1)
        call->sizes = ((const XLA_FFI_Array *)frame->attrs.attrs[1])->data;
    const XLA_FFI_Scalar *number = frame->attrs.attrs[0];
    call->kernel = find(*(uint64_t *)number->value + offset);
    return call->kernel ? 0 : error(frame, "this process has not made the kernel");
}
"""

# Kernels run on the threads of XLA. Threads of our own would compete with those:
# after its work, a team of OpenMP spins for a while on the cores that XLA's next
# operation wants.
_HOST_SOURCE = r"""
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
    if (answers_version(frame, 0)) return 0;
    Call call;
    XLA_FFI_Error *failure = read_call(frame, 0, &call);
    if (failure) return failure;
    void **out = call.data + call.inputs;
    if (run(call.kernel, call.sizes, call.data, out, call_for_help, frame))
        return error(frame, "out of memory");
    return 0;
}
"""
HOST_SOURCE = entry.SOURCE + _COMMON_SOURCE + _HOST_SOURCE

# Kernels are launched on XLA's own stream. A device has its own copy of a kernel,
# known by the kernel's number plus `DEVICE_STRIDE` times that of the device.
DEVICE_STRIDE = 4
_DEVICE_SOURCE = r"""

typedef int launcher(
    void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
    void *, void **, void **);
static launcher *launch;

/* `cuLaunchKernel`: taken from the driver at run time, not linked. */
void keras_spiking_launcher(launcher *function) { launch = function; }

XLA_FFI_Error *keras_spiking_call(XLA_FFI_CallFrame *frame) {
    if (answers_version(frame, XLA_FFI_HANDLER_TRAITS_COMMAND_BUFFER_COMPATIBLE))
        return 0;
    XLA_FFI_Error *failure;
    XLA_FFI_Stream_Get_Args stream = {0};
    stream.struct_size = XLA_FFI_Stream_Get_Args_STRUCT_SIZE;
    stream.ctx = frame->ctx;
    if ((failure = frame->api->XLA_FFI_Stream_Get(&stream))) return failure;
    XLA_FFI_DeviceOrdinal_Get_Args device = {0};
    device.struct_size = XLA_FFI_DeviceOrdinal_Get_Args_STRUCT_SIZE;
    device.ctx = frame->ctx;
    if ((failure = frame->api->XLA_FFI_DeviceOrdinal_Get(&device))) return failure;

    Call call;
    failure = read_call(frame, DEVICE_STRIDE * device.device_ordinal, &call);
    if (failure) return failure;
    INDEX sizes[3] = {call.sizes[0], call.sizes[1], call.sizes[2]};
    void *parameters[3 + MAX_ARRAYS] = {&sizes[0], &sizes[1], &sizes[2]};
    for (int i = 0; i < call.arrays; i++) parameters[3 + i] = &call.data[i];
    const INDEX blocks = (sizes[0] * sizes[2] + THREADS - 1) / THREADS;
    if (!blocks) return 0;
    const int status = launch(
        call.kernel->function, blocks, 1, 1, THREADS, 1, 1, 0, stream.stream,
        parameters, 0);
    return status ? error(frame, "the GPU did not take the kernel") : 0;
}
"""
_CONSTANTS = f"""
#define THREADS {cuda.THREADS}
#define DEVICE_STRIDE {DEVICE_STRIDE}
"""
DEVICE_SOURCE = entry.TABLE_SOURCE + _CONSTANTS + _COMMON_SOURCE + _DEVICE_SOURCE
