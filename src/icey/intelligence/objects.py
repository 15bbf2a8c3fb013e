"""The object detector under the name that it had before it became a package of its own.

The package is ``examples/icey-objects``; configurations that name the detector here go on working.
"""

try:
    from icey_objects import ObjectDetector
except ModuleNotFoundError as error:
    if error.name != "icey_objects":
        raise
    raise ModuleNotFoundError(
        "the object detector is a package of its own: pip install examples/icey-objects",
        name=error.name,
    ) from None

__all__ = ["ObjectDetector"]
