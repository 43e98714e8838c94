"""C text of the products that choose at run time: a walk over the non-zeros, or dense.

Their last input is what `count` has written about the first one.
"""

_CHOICE = """
static int is_sparse(const SIZES *s, const REAL *counts) {
    INDEX total = 0;
    for (int i = 0; i < COUNTS; i++) total += (INDEX)counts[i];
    const INDEX inputs = s->images * s->in_rows * s->in_columns * s->channels;
    return total * 65536 <= s->limit * inputs;
}
"""

_EITHER = """
INDEX either_NAME_parts(const INDEX *sizes) {
    const INDEX walk = NAME_parts(sizes), dense = dense_NAME_parts(sizes);
    return walk > dense ? walk : dense;
}

int either_NAME_part(
    INDEX part, INDEX parts, const INDEX *sizes, void **in, void **out
) {
    if (is_sparse((const SIZES *)sizes, in[2]))
        return NAME_part(part, parts, sizes, in, out);
    const INDEX fewer = least(parts, dense_NAME_parts(sizes));
    return part < fewer ? dense_NAME_part(part, fewer, sizes, in, out) : 0;
}
"""

SOURCE = _CHOICE + "".join(
    _EITHER.replace("NAME", name) for name in ("forward", "weights")
)
