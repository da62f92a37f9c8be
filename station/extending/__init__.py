"""The extension API: every name that code outside this repository may build on, and what is promised about it.

One module per floor, so that a driver loads no torch and a format no device code:

- `station.extending.methods`: `Steering` and what it computes with;
- `station.extending.devices`: `Cell`, `Arm`, `Gripper`, `Camera`, their settings, values and errors;
- `station.extending.formats`: `Format` to read, `Exporter` to write, and the recordings they pass on.

**Public** is what these modules list in `__all__`. Where a class is defined may change; import it from here. Everything
else in `datasets`, `hardware`, `policy` and `station` may change in any release.

**The promise.** Code that uses public names alone, and passes the checks of `station.testing`, keeps working until the
next major version (before 1.0: the next minor one). Until then nothing public is removed or renamed, no argument,
method or field is added that an extension must supply, and no unit, shape, default or error changes its meaning. Any
release may add a name, an argument or field with a default, or a method with a body.

**Deprecation.** What is going away keeps working for one such version more, raises a `DeprecationWarning` that names
its successor, and is a line under *Deprecated* in the changelog from the release that announces it.

`surface.txt` records all signatures; a test compares them, and its digest is in the changelog. After a deliberate
change: ``python -m station.extending``.
"""
