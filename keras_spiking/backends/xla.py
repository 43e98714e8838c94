"""C text of the custom call targets that run kernels for XLA, on CPUs and on GPUs.

Both find a kernel by its key in a table, and the arrays in XLA's call frame.
"""

from keras_spiking.backends.gpu import THREADS

COMMON_SOURCE = r"""
#include "xla/ffi/api/c_api.h"

typedef long long INDEX;

#define SLOTS 65536
static uint64_t keys[SLOTS];
static void *kernels[SLOTS];

/* Kernels are registered while functions are traced, under a lock of Python's. */
static long find(uint64_t key) {
    long slot = key % SLOTS;
    while (keys[slot] && keys[slot] != key) slot = (slot + 1) % SLOTS;
    return slot;
}

void keras_spiking_register(uint64_t key, void *kernel) {
    long slot = find(key);
    kernels[slot] = kernel;
    keys[slot] = key;
}

static XLA_FFI_Error *error(XLA_FFI_CallFrame *frame, const char *message) {
    XLA_FFI_Error_Create_Args args = {0};
    args.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE;
    args.message = message;
    args.errc = XLA_FFI_Error_Code_INTERNAL;
    return frame->api->XLA_FFI_Error_Create(&args);
}

/* XLA asks for the version before it calls. */
static int answers_version(XLA_FFI_CallFrame *frame, XLA_FFI_Handler_Traits traits) {
    XLA_FFI_Extension_Base *extension = frame->extension_start;
    if (!extension || extension->type != XLA_FFI_Extension_Metadata) return 0;
    XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)extension)->metadata;
    metadata->api_version.major_version = XLA_FFI_API_MAJOR;
    metadata->api_version.minor_version = XLA_FFI_API_MINOR;
    metadata->traits = traits;
    return 1;
}

#define MAX_ARRAYS 128
typedef struct {
    uint64_t key;
    const int64_t *sizes; /* batch, time and features of the first array */
    int inputs, arrays;
    void *data[MAX_ARRAYS]; /* inputs, then outputs */
} Call;

static XLA_FFI_Error *read_call(XLA_FFI_CallFrame *frame, Call *call) {
    call->inputs = frame->args.size;
    call->arrays = call->inputs + frame->rets.size;
    if (call->arrays > MAX_ARRAYS) return error(frame, "too many arrays");
    XLA_FFI_Buffer **in = (XLA_FFI_Buffer **)frame->args.args;
    XLA_FFI_Buffer **out = (XLA_FFI_Buffer **)frame->rets.rets;
    for (int i = 0; i < call->arrays; i++)
        call->data[i] = (i < call->inputs ? in[i] : out[i - call->inputs])->data;
    call->key = *(uint64_t *)((XLA_FFI_Scalar *)frame->attrs.attrs[0])->value;
    call->sizes = in[0]->dims;
    return 0;
}

static XLA_FFI_Error *unknown(XLA_FFI_CallFrame *frame) {
    return error(frame, "this process has not made the kernel");
}
"""

# Kernels run on the threads of XLA. Threads of our own would compete with those:
# after its work, a team of OpenMP spins for a while on the cores that XLA's next
# operation wants.
HOST_SOURCE = r"""
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef int kernel(INDEX, INDEX, INDEX, INDEX, INDEX, void **, void **);

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
    if (answers_version(frame, 0)) return 0;
    Call call;
    XLA_FFI_Error *failure = read_call(frame, &call);
    if (failure) return failure;
    const long slot = find(call.key);
    if (!keys[slot]) return unknown(frame);
    void **out = call.data + call.inputs;
    return run(frame, (kernel *)kernels[slot], call.sizes, call.data, out);
}
"""

# Kernels are launched on XLA's own stream. A device has its own copy of a kernel,
# registered under the key plus `DEVICE_STRIDE` times its number.
DEVICE_STRIDE = 4
DEVICE_SOURCE = f"""
#define DEVICE_STRIDE {DEVICE_STRIDE}
#define THREADS {THREADS}
"""
DEVICE_SOURCE += r"""

typedef int launcher(
    void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
    void *, void **, void **);
static launcher *launch;

/* `cuLaunchKernel`: taken from the driver at run time, not linked. */
void keras_spiking_launcher(launcher *function) { launch = function; }

XLA_FFI_Error *keras_spiking_call(XLA_FFI_CallFrame *frame) {
    if (answers_version(frame, XLA_FFI_HANDLER_TRAITS_COMMAND_BUFFER_COMPATIBLE))
        return 0;
    Call call;
    XLA_FFI_Error *failure = read_call(frame, &call);
    if (failure) return failure;

    XLA_FFI_Stream_Get_Args stream = {0};
    stream.struct_size = XLA_FFI_Stream_Get_Args_STRUCT_SIZE;
    stream.ctx = frame->ctx;
    if ((failure = frame->api->XLA_FFI_Stream_Get(&stream))) return failure;
    XLA_FFI_DeviceOrdinal_Get_Args device = {0};
    device.struct_size = XLA_FFI_DeviceOrdinal_Get_Args_STRUCT_SIZE;
    device.ctx = frame->ctx;
    if ((failure = frame->api->XLA_FFI_DeviceOrdinal_Get(&device))) return failure;

    const long slot = find(call.key + DEVICE_STRIDE * device.device_ordinal);
    if (!keys[slot]) return unknown(frame);
    INDEX sizes[3] = {call.sizes[0], call.sizes[1], call.sizes[2]};
    void *parameters[3 + MAX_ARRAYS] = {&sizes[0], &sizes[1], &sizes[2]};
    for (int i = 0; i < call.arrays; i++) parameters[3 + i] = &call.data[i];
    const INDEX blocks = (sizes[0] * sizes[2] + THREADS - 1) / THREADS;
    if (!blocks) return 0;
    const int status = launch(
        kernels[slot], blocks, 1, 1, THREADS, 1, 1, 0, stream.stream, parameters, 0);
    return status ? error(frame, "the GPU did not take the kernel") : 0;
}
"""
