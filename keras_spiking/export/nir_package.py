"""The optional package `nir`."""


def nir():
    """Imports and returns `nir`."""
    try:
        import nir
    except ImportError as error:
        raise ImportError(
            "NIR files need the package `nir`: `pip install nir`."
        ) from error
    return nir
