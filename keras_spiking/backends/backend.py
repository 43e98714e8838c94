"""What Keras has no operation for, and what a backend does better than `keras.ops`.

One class a framework, in a module of its own, which is imported only if Keras runs on
that framework. The class here is the protocol, and what serves where there is nothing
better: on a backend that the package does not know, layers run in `keras.ops`.
"""

import contextlib

import keras
from keras import ops

from keras_spiking.backends import memory


class Backend:
    """A framework that Keras runs on.

    Attributes:
        name: What `keras.config.backend()` says.
        unrolled_steps: Integer, up to how many time steps a loop is unrolled, or `None`
            if it always is.
        has_kernels: Boolean, whether there are fused kernels for it at all.
        has_native_layers: Boolean, whether it pools and normalises faster than
            Keras's layers do.
        fuses_single_steps: Boolean, whether the framework's own compiler makes a
            fused kernel of a single time step, so that ours has no advantage.
        flattens_last: Boolean, whether `run` takes features as they are, each axis of
            which may be split over devices.
    """

    unrolled_steps = None
    has_kernels = False
    has_native_layers = False
    fuses_single_steps = False
    flattens_last = False

    def __init__(self, name):
        self.name = name

    def prepare(self):
        """Sets up the process. Called whenever a layer of neurons is built."""
        memory.keep(gains=False)

    # Running in `keras.ops`

    def loop(self, step, inputs, states, timesteps):
        """`ops.time_loop` for many or an unknown number of steps, as one operation."""
        raise NotImplementedError

    def knows(self, tensor):
        """Whether a tensor has values, as it has not where a function is compiled."""
        return True

    def require(self, condition, message, tensors):
        """The tensors, or an error with a message if a condition does not hold, and
        its value is known.

        Args:
            condition: Boolean scalar tensor.
            message: String.
            tensors: Tuple of tensors.
        """
        if self.knows(condition) and not ops.convert_to_numpy(condition):
            raise ValueError(message)
        return tensors

    def keep(self, variable, value):
        """Assigns a state that the next call of a stateful layer starts from."""
        variable.assign(value)

    # Products of an input with weights

    def dense(self, x, kernel):
        """`(..., channels)` times `(channels, units)`."""
        return ops.matmul(x, kernel)

    def conv(self, x, kernel, **options):
        """`ops.conv`."""
        return ops.conv(x, kernel, **options)

    def depthwise_conv(self, x, kernel, **options):
        """`ops.depthwise_conv`."""
        return ops.depthwise_conv(x, kernel, **options)

    def conv_transpose(self, x, kernel, **options):
        """`ops.conv_transpose`."""
        return ops.conv_transpose(x, kernel, **options)

    def channels_first(self, x):
        """`x` with its last axis behind the batch, in memory as others read it."""
        return ops.moveaxis(x, -1, 1)

    def products_unavailable(self, x=None):
        """Why products cannot walk over the non-zeros of an input, or `None`."""
        return f"there are no event-driven products for the {self.name} backend"

    def register_products(self, library):
        """Makes the kernels of products known to the framework."""

    def run_product(self, product, kernel, arrays, shape, *, whole=False, limit=0.0):
        """Runs a kernel of a product, without gradients.

        Args:
            product: `Product`.
            kernel: Name of the kernel.
            arrays: List of tensors as it takes them.
            shape: Shape of the output, the axis of images left out.
            whole: Boolean, whether the output has no axis of images.
            limit: Share of non-zeros up to which a kernel that chooses walks.
        """
        raise NotImplementedError

    # Layers around the neurons, where `has_native_layers`

    def max_pool(self, x, **options):
        """`ops.max_pool`."""
        raise NotImplementedError

    def average_pool(self, x, **options):
        """`ops.average_pool`."""
        raise NotImplementedError

    def batch_norm(self, x, gamma, beta, axis, epsilon, mask=None):
        """`x` normalised by mean and variance of the batch, and both of these.

        Args:
            x: Tensor.
            gamma, beta: Tensors `(channels,)` or `None`.
            axis: Integer, that of the channels.
            epsilon: Float.
            mask: Tensor that says what counts, of as many axes as `x`, or `None`. Only
                where processes share a step.
        """
        raise NotImplementedError

    def normalize(self, x, mean, variance, gamma, beta, axis, epsilon):
        """The same by a given mean and variance."""
        raise NotImplementedError

    # Gradients and compilation

    def forget_compiled(self, model):
        """Lets a model compile its functions anew: what they have fixed has changed."""
        model.train_function = None
        model.test_function = None
        model.predict_function = None

    def value_and_gradients(self, function, tensors):
        """Value of a scalar function of tensors, and its gradients.

        Args:
            function: Callable, takes a list of tensors and returns a scalar and
                whatever else it has computed.
            tensors: List of float tensors.

        Returns:
            A tuple: what `function` returned, without connection to any gradient,
            and a list of gradients, zeros where nothing depends on a tensor.
        """
        raise NotImplementedError(
            f"The backend '{self.name}' has no gradients. Use jax, tensorflow or torch."
        )

    def compiled(self, function):
        """A pure function of tensors, compiled if the backend compiles functions."""
        return function

    def outside_of_tracing(self):
        """A context in which tensors have values, even where a function is traced."""
        return contextlib.nullcontext()

    def is_compiling(self):
        """Whether Python code is being compiled, which cannot make kernels."""
        return False

    # Several processes

    def check_processes(self):
        """Raises an error if processes cannot share training steps here."""
        raise RuntimeError(
            "Training steps that processes share are for PyTorch. Keras does that by "
            "itself on JAX, see `keras.distribution`, and within the scope of a "
            f"`tf.distribute.Strategy` on TensorFlow. The backend is {self.name}."
        )

    def share_steps(self, model, hooks):
        """Makes the training and test steps of a model shared ones, from now on.

        Args:
            model: Keras model, built, the same in all processes.
            hooks: List of hooks around calls in training steps.
        """
        raise NotImplementedError

    def devices_of_batch(self):
        """Between how many devices of this process a batch has to divide."""
        return 1

    def whole(self, variable):
        """The values of a variable, or `None` if they lie on several processes."""
        return ops.convert_to_numpy(variable)

    def gather(self, text):
        """A string of each process, the same list on all of them."""
        return [text]

    def processes(self):
        """How many processes, or replicas, share the present step.

        Each runs the code here with a part of the batch. One where a compiler divides
        the work of a whole batch, as XLA does.
        """
        return 1

    def sum_over_processes(self, tensors):
        """The sum of float tensors over the processes that share the present step.

        Differentiable, towards the mean of all losses.

        Args:
            tensors: List of tensors of one dtype.
        """
        return tensors

    def mean_over_processes(self, tensors):
        """The mean in place of the sum."""
        count = self.processes()
        return [x / count for x in self.sum_over_processes(tensors)]

    # Random numbers

    def uniform(self, shape, layer):
        """Float32 numbers in `[0, 1)`, from the `seed_generator` of a layer."""
        return keras.random.uniform(shape, dtype="float32", seed=layer.seed_generator)

    def normal(self, shape, dtype, layer):
        """Normal numbers of variance 1, from the same."""
        return keras.random.normal(shape, dtype=dtype, seed=layer.seed_generator)

    def random_state(self):
        """State of generators of the framework that Keras draws from besides its own:
        `{name: array}`."""
        return {}

    def set_random_state(self, state):
        """Sets what `random_state` has returned."""

    # Fused kernels

    def unavailable(self, x=None):
        """Why fused kernels cannot run here, or `None`.

        Args:
            x: Tensor, the input of the call, or `None`: for any call.
        """
        return f"there are no fused kernels for the {self.name} backend"

    def register(self, library):
        """Makes the kernels of a `Library` known to the framework."""

    def run(self, library, inputs):
        """Runs the forward kernel of a library, differentiably.

        Args:
            library: `Library`.
            inputs: List of the kernel's inputs, flat tensors unless `flattens_last`.
                See `passes`.

        Returns:
            A list of the kernel's outputs.
        """
        raise NotImplementedError

    def reshape(self, x, shape):
        """`ops.reshape`, without what Keras does besides."""
        return ops.reshape(x, shape)

    def cast(self, x, dtype):
        """`ops.cast`, without what Keras does besides."""
        return ops.cast(x, dtype)

    def constant(self, values, dtype, like):
        """A vector of Python numbers, on the device of the tensor `like`."""
        return ops.convert_to_tensor(values, dtype)

    # `python -m keras_spiking.backends`

    def call_report(self):
        """How the framework calls kernels, in words."""
        return self.unavailable()

    def optimizer_report(self):
        """How optimizers compute updates, in words."""
        return "Keras's own updates"

    def cuda_report(self):
        """Which GPU kernels run on, in words."""
        return f"{self.name} runs on the CPU"
