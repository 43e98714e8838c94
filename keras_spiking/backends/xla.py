"""C text of the custom call target that runs kernels on the threads of XLA.

Threads of our own would compete with those: after its work, a team of OpenMP spins
for a while on the cores that XLA's next operation wants.
"""

TARGET_SOURCE = r"""
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "xla/ffi/api/c_api.h"

typedef long long INDEX;
typedef int kernel(INDEX, INDEX, INDEX, INDEX, INDEX, void **, void **);

#define SLOTS 65536
static uint64_t keys[SLOTS];
static kernel *kernels[SLOTS];

/* Kernels are registered while functions are traced, under a lock of Python's. */
static long find(uint64_t key) {
    long slot = key % SLOTS;
    while (keys[slot] && keys[slot] != key) slot = (slot + 1) % SLOTS;
    return slot;
}

void keras_spiking_register(uint64_t key, kernel *function) {
    long slot = find(key);
    kernels[slot] = function;
    keys[slot] = key;
}

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

/* One call of a kernel, cut into parts that threads take until none is left. A
   helper may come when all is done, so the last one to leave frees it. */
typedef struct {
    kernel *function;
    INDEX batch, time, features, items, parts;
    void **in, **out;
    atomic_llong next, finished, failed, holders;
} Work;

static void take_parts(Work *work) {
    INDEX part;
    while ((part = atomic_fetch_add(&work->next, 1)) < work->parts) {
        work->failed += work->function(
            work->items * part / work->parts, work->items * (part + 1) / work->parts,
            work->batch, work->time, work->features, work->in, work->out);
        atomic_fetch_add(&work->finished, 1);
    }
}

static void leave(Work *work) {
    if (atomic_fetch_sub(&work->holders, 1) == 1) free(work);
}

static void help(void *data) {
    take_parts(data);
    leave(data);
}

static void call_for_help(XLA_FFI_CallFrame *frame, Work *work) {
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

/* A part should take longer than it takes to wake a thread. */
#define SIZE_OF_PART 32768
#define MAX_PARTS 64

static XLA_FFI_Error *run(
    XLA_FFI_CallFrame *frame, kernel *function, const int64_t *sizes,
    void **in, void **out
) {
    Work *work = malloc(sizeof(Work));
    if (!work) return error(frame, "out of memory");
    const INDEX batch = sizes[0], time = sizes[1], features = sizes[2];
    const INDEX block = block_size(time);
    const INDEX items = batch * ((features + block - 1) / block);
    INDEX parts = 1 + batch * time * features / SIZE_OF_PART;
    if (parts > MAX_PARTS) parts = MAX_PARTS;
    if (parts > items) parts = items;
    *work = (Work){
        .function = function, .batch = batch, .time = time, .features = features,
        .items = items, .parts = parts, .in = in, .out = out, .holders = 1};
    if (parts > 1) call_for_help(frame, work);
    take_parts(work);
    while (work->finished < parts) sched_yield();
    const INDEX failed = work->failed;
    leave(work);
    return failed ? error(frame, "out of memory") : 0;
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
    const uint64_t key =
        *(uint64_t *)((XLA_FFI_Scalar *)frame->attrs.attrs[0])->value;
    const long slot = find(key);
    if (!keys[slot]) return error(frame, "this process has not made the kernel");
    /* The first array is a sequence (batch, time, features). */
    const int64_t *sizes = ((XLA_FFI_Buffer *)frame->args.args[0])->dims;
    return run(frame, kernels[slot], sizes, in, out);
}
"""
