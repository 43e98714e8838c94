"""C text of the TensorFlow operators that run kernels: of neurons and of products.

It is C, which compiles in a third of a second, and not C++, for which TensorFlow's
headers take ten. From C the threads of TensorFlow's operations are out of reach.
Those of OpenMP would be a team for each thread that TensorFlow calls from, so the
operator keeps its own, as many as an operation may have, which sleep between calls.
"""

OPERATOR_SOURCE = r"""
#include <pthread.h>
#include <string.h>

/* TensorFlow's headers define these names for C++ only. */
typedef struct TF_DimensionHandle TF_DimensionHandle;
typedef struct TF_OpDefinitionBuilder TF_OpDefinitionBuilder;
typedef struct TF_ShapeHandle TF_ShapeHandle;
typedef struct TF_ShapeInferenceContext TF_ShapeInferenceContext;
#include "tensorflow/c/kernels.h"
#include "tensorflow/c/ops.h"

#define MAX_CALLS 1024
static Work *calls[MAX_CALLS];
static unsigned first_call, waiting_calls;
static int helpers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t called = PTHREAD_COND_INITIALIZER;

static void *wait_for_calls(void *nothing) {
    for (;;) {
        pthread_mutex_lock(&lock);
        while (!waiting_calls) pthread_cond_wait(&called, &lock);
        Work *work = calls[first_call++ % MAX_CALLS];
        waiting_calls--;
        pthread_mutex_unlock(&lock);
        help(work);
    }
}

static void call_for_help(void *nothing, Work *work) {
    pthread_mutex_lock(&lock);
    for (int i = 0; i < helpers && i + 1 < work->parts; i++) {
        if (waiting_calls == MAX_CALLS) break;
        calls[(first_call + waiting_calls++) % MAX_CALLS] = work;
        atomic_fetch_add(&work->holders, 1);
        pthread_cond_signal(&called);
    }
    pthread_mutex_unlock(&lock);
}

int omp_get_num_procs(void);

/* Once, with the number of threads that an operation may have, or 0. */
void keras_spiking_start(int threads) {
    if (!threads) threads = omp_get_num_procs();
    while (helpers < threads - 1) {
        pthread_t thread;
        if (pthread_create(&thread, 0, wait_for_calls, 0)) break;
        pthread_detach(thread);
        helpers++;
    }
}

#define MAX_SIZES 32
#define MAX_RANK 8
typedef struct {
    const Kernel *kernel;
    int reusable; /* the input whose memory the first output may take, or -1 */
    /* Of a product: its sizes, of which the first is that of the first input, and the
       shape of its output, -1 where that stands. */
    int64_t sizes[MAX_SIZES], shape[MAX_RANK];
    int rank;
} Operator;

static void *construct(
    TF_OpKernelConstruction *construction, Operator *operator, TF_Status *status
) {
    int64_t number = 0;
    TF_OpKernelConstruction_GetAttrInt64(construction, "kernel", &number, status);
    operator->kernel = find(number);
    if (TF_GetCode(status) == TF_OK && !operator->kernel)
        TF_SetStatus(
            status, TF_NOT_FOUND,
            "This process has not made the kernel. Functions for other processes "
            "have to be traced by `model.export` or `tf.saved_model.save`.");
    if (TF_GetCode(status) != TF_OK)
        TF_OpKernelConstruction_Failure(construction, status);
    TF_DeleteStatus(status);
    return operator;
}

static void *create(TF_OpKernelConstruction *construction) {
    TF_Status *status = TF_NewStatus();
    Operator *operator = calloc(1, sizeof(Operator));
    int32_t reusable = -1;
    TF_OpKernelConstruction_GetAttrInt32(construction, "reusable", &reusable, status);
    operator->reusable = reusable;
    return construct(construction, operator, status);
}

static void *create_product(TF_OpKernelConstruction *construction) {
    TF_Status *status = TF_NewStatus();
    Operator *operator = calloc(1, sizeof(Operator));
    int32_t sizes, rank, total;
    TF_OpKernelConstruction_GetAttrSize(construction, "sizes", &sizes, &total, status);
    TF_OpKernelConstruction_GetAttrSize(construction, "shape", &rank, &total, status);
    if (sizes > MAX_SIZES || rank > MAX_RANK)
        TF_SetStatus(status, TF_INVALID_ARGUMENT, "There are too many sizes.");
    operator->rank = rank;
    if (TF_GetCode(status) == TF_OK)
        TF_OpKernelConstruction_GetAttrInt64List(
            construction, "sizes", operator->sizes, sizes, status);
    if (TF_GetCode(status) == TF_OK)
        TF_OpKernelConstruction_GetAttrInt64List(
            construction, "shape", operator->shape, rank, status);
    return construct(construction, operator, status);
}

static void compute(void *instance, TF_OpKernelContext *context) {
    const Operator *operator = instance;
    TF_Status *status = TF_NewStatus();
    const int inputs = TF_NumInputs(context), outputs = TF_NumOutputs(context);
    TF_Tensor *tensors[inputs + outputs];
    void *arrays[inputs + outputs];
    int64_t sizes[3] = {0};
    for (int i = 0; i < inputs + outputs; i++) tensors[i] = 0;

    /* The first input is a sequence (batch, time, features), and so is the first
       output; other outputs are (batch, features). Memory is taken over from a
       tensor that nobody holds, so the other inputs are asked for afterwards. */
    TF_GetInput(context, 0, &tensors[0], status);
    if (TF_GetCode(status) == TF_OK)
        for (int i = 0; i < 3; i++) sizes[i] = TF_Dim(tensors[0], i);
    const int64_t neurons[2] = {sizes[0], sizes[2]};
    for (int i = 0; i < outputs && TF_GetCode(status) == TF_OK; i++)
        tensors[inputs + i] = TF_ForwardInputOrAllocateOutput(
            context, &operator->reusable, i == 0 && operator->reusable >= 0, i,
            i ? neurons : sizes, i ? 2 : 3, 0, status);
    for (int i = 1; i < inputs && TF_GetCode(status) == TF_OK; i++)
        TF_GetInput(context, i, &tensors[i], status);

    if (TF_GetCode(status) == TF_OK) {
        for (int i = 0; i < inputs + outputs; i++)
            arrays[i] = TF_TensorData(tensors[i]);
        if (run(operator->kernel, sizes, arrays, arrays + inputs, call_for_help, 0))
            TF_SetStatus(status, TF_RESOURCE_EXHAUSTED, "There is no memory left.");
    }
    if (TF_GetCode(status) != TF_OK) TF_OpKernelContext_Failure(context, status);
    for (int i = 0; i < inputs + outputs; i++)
        if (tensors[i]) TF_DeleteTensor(tensors[i]);
    TF_DeleteStatus(status);
}

static void compute_product(void *instance, TF_OpKernelContext *context) {
    const Operator *operator = instance;
    TF_Status *status = TF_NewStatus();
    const int inputs = TF_NumInputs(context);
    TF_Tensor *tensors[inputs + 1];
    void *arrays[inputs + 1];
    for (int i = 0; i <= inputs; i++) tensors[i] = 0;
    for (int i = 0; i < inputs && TF_GetCode(status) == TF_OK; i++)
        TF_GetInput(context, i, &tensors[i], status);
    if (TF_GetCode(status) == TF_OK) {
        int64_t sizes[MAX_SIZES], shape[MAX_RANK], bytes = 1;
        memcpy(sizes, operator->sizes, sizeof(sizes));
        sizes[0] = TF_Dim(tensors[0], 0);
        for (int i = 0; i < operator->rank; i++) {
            shape[i] = operator->shape[i] < 0 ? sizes[0] : operator->shape[i];
            bytes *= shape[i];
        }
        bytes *= TF_DataTypeSize(TF_ExpectedOutputDataType(context, 0));
        tensors[inputs] = TF_AllocateOutput(
            context, 0, TF_ExpectedOutputDataType(context, 0), shape, operator->rank,
            bytes, status);
        if (TF_GetCode(status) == TF_OK) {
            for (int i = 0; i <= inputs; i++) arrays[i] = TF_TensorData(tensors[i]);
            if (run(operator->kernel, sizes, arrays, arrays + inputs, call_for_help, 0))
                TF_SetStatus(
                    status, TF_RESOURCE_EXHAUSTED, "There is no memory left.");
        }
    }
    if (TF_GetCode(status) != TF_OK) TF_OpKernelContext_Failure(context, status);
    for (int i = 0; i <= inputs; i++)
        if (tensors[i]) TF_DeleteTensor(tensors[i]);
    TF_DeleteStatus(status);
}

/* Each output has the shape of the input in its place. */
static void infer_shapes(TF_ShapeInferenceContext *context, TF_Status *status) {
    TF_ShapeHandle *shape = TF_NewShapeHandle();
    for (int i = 0; TF_GetCode(status) == TF_OK; i++) {
        TF_ShapeInferenceContextGetInput(context, i, shape, status);
        if (TF_GetCode(status) == TF_OK)
            TF_ShapeInferenceContextSetOutput(context, i, shape, status);
    }
    TF_DeleteShapeHandle(shape);
    TF_SetStatus(status, TF_OK, ""); /* it ended behind the last output */
}

__attribute__((constructor)) static void define(void) {
    TF_Status *status = TF_NewStatus();
    TF_OpDefinitionBuilder *definition =
        TF_NewOpDefinitionBuilder("KerasSpikingOverTime");
    TF_OpDefinitionBuilderAddInput(definition, "inputs: input_types");
    TF_OpDefinitionBuilderAddOutput(definition, "outputs: output_types");
    TF_OpDefinitionBuilderAddAttr(definition, "input_types: list(type) >= 1");
    TF_OpDefinitionBuilderAddAttr(definition, "output_types: list(type) >= 1");
    TF_OpDefinitionBuilderAddAttr(definition, "library: string");
    TF_OpDefinitionBuilderAddAttr(definition, "kernel: int");
    TF_OpDefinitionBuilderAddAttr(definition, "reusable: int");
    TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, infer_shapes);
    TF_RegisterOpDefinition(definition, status);
    TF_RegisterKernelBuilder(
        "KerasSpikingOverTime",
        TF_NewKernelBuilder("KerasSpikingOverTime", "CPU", create, compute, free),
        status);

    definition = TF_NewOpDefinitionBuilder("KerasSpikingProduct");
    TF_OpDefinitionBuilderAddInput(definition, "arrays: number * dtype");
    TF_OpDefinitionBuilderAddOutput(definition, "output: dtype");
    TF_OpDefinitionBuilderAddAttr(definition, "number: int >= 1");
    TF_OpDefinitionBuilderAddAttr(definition, "dtype: {float, double}");
    TF_OpDefinitionBuilderAddAttr(definition, "kernel: int");
    TF_OpDefinitionBuilderAddAttr(definition, "sizes: list(int)");
    TF_OpDefinitionBuilderAddAttr(definition, "shape: list(int)");
    TF_OpDefinitionBuilderSetShapeInferenceFunction(
        definition, TF_ShapeInferenceContextSetUnknownShape);
    TF_RegisterOpDefinition(definition, status);
    TF_RegisterKernelBuilder(
        "KerasSpikingProduct",
        TF_NewKernelBuilder(
            "KerasSpikingProduct", "CPU", create_product, compute_product, free),
        status);
    TF_DeleteStatus(status);
}
"""
