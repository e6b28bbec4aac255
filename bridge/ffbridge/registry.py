"""Plug-ins by name: found lazily through entry points, or registered by hand."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from ffbridge.backend import Array, Backend
from ffbridge.engine import Engine
from ffbridge.errors import ExchangeError, MissingDependencyError, RegistrationError, UnknownNameError
from ffbridge.plugin import Plugin

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "BackendInfo",
    "Registry",
    "backend_of",
    "backends",
    "engines",
    "get_backend",
    "get_engine",
    "loaded_backends",
    "register_backend",
    "register_engine",
]

PluginT = TypeVar("PluginT", bound=Plugin)


@dataclass(frozen=True, kw_only=True)
class BackendInfo:
    """What is known of one backend or engine on this machine.

    Attributes:
        name: as ``fb.to`` or ``fb.potential`` take it.
        available: whether it can be used now.
        version: of its framework; None if that is not installed.
        devices: which it can use here.
        abilities: what it can do, in short phrases.
        install: the command that installs its framework; empty if the plug-in itself cannot be loaded.
        problem: why it is not available; None if it is.
    """

    name: str
    available: bool
    version: str | None
    devices: tuple[str, ...]
    abilities: tuple[str, ...]
    install: str
    problem: str | None


class Registry(Generic[PluginT]):
    """The plug-ins of one kind.

    Args:
        kind: the word for one of them in messages.
        base: the class of which each must be an instance.
        group: the entry-point group that is searched, once, when it is first needed.
        install: the command that installs those that come with ffbridge.
    """

    def __init__(self, kind: str, base: type[PluginT], *, group: str, install: str) -> None:
        self.kind = kind
        self._base = base
        self._group = group
        self._install = install
        self._plugins: dict[str, PluginT] = {}
        self._usable: dict[str, PluginT] = {}
        self._warned: set[str] = set()

    @cached_property
    def _entry_points(self) -> dict[str, EntryPoint]:
        # Imported here: it takes a fifth of the time in which `import ffbridge` has to be done.
        from importlib.metadata import entry_points

        points: dict[str, EntryPoint] = {}
        for point in entry_points(group=self._group):
            first = points.setdefault(point.name, point)
            if first.value != point.value:
                warnings.warn(
                    f"ffbridge: two packages give a {self.kind} named {point.name!r}: {first.value!r} is used, "
                    f"{point.value!r} is not",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return points

    def register(self, plugin: PluginT, *, override: bool = False) -> None:
        """Adds a plug-in under its own name.

        Raises:
            RegistrationError: it is not an instance of the base class, or its name is taken and `override` is False.
        """
        if not isinstance(plugin, self._base):
            raise RegistrationError(
                f"{plugin!r} cannot be registered as {self.kind}: expected an instance of {self._base.__module__}."
                f"{self._base.__qualname__}, got {type(plugin).__module__}.{type(plugin).__qualname__}"
            )
        if not override and (plugin.name in self._plugins or plugin.name in self._entry_points):
            raise RegistrationError(
                f"a {self.kind} named {plugin.name!r} is registered already; choose another name, or pass override=True"
            )
        self._plugins[plugin.name] = plugin
        self._usable.pop(plugin.name, None)

    def names(self) -> tuple[str, ...]:
        """The names of all plug-ins, usable or not, sorted."""
        return tuple(sorted({*self._plugins, *self._entry_points}))

    def get(self, name: str) -> PluginT:
        """The plug-in of that name, whose framework is installed (but maybe not imported yet).

        Raises:
            UnknownNameError: nobody registered the name.
            MissingDependencyError: its framework is not installed.
            RegistrationError: the plug-in itself fails to load.
        """
        plugin = self._usable.get(name)
        if plugin is None:
            plugin = self.load(name)
            plugin.require()
            self._usable[name] = plugin
        return plugin

    def load(self, name: str) -> PluginT:
        """The plug-in of that name, even if its framework is not installed; errors as `get` otherwise."""
        if name in self._plugins:
            return self._plugins[name]
        point = self._entry_points.get(name) if isinstance(name, str) else None
        if point is None:
            raise UnknownNameError(
                f"no {self.kind} is named {name!r}; known: {', '.join(self.names()) or 'none'}. "
                f"Those of ffbridge come with: {self._install}. Another package adds its own through the entry-point "
                f"group {self._group!r}, or register_{self.kind}()"
            )
        try:
            plugin = point.load()
        except Exception as error:
            where = f" of the package {point.dist.name!r}" if point.dist else ""
            raise RegistrationError(
                f"the {self.kind} {name!r}{where} cannot be loaded from {point.value!r}: "
                f"{type(error).__name__}: {error}. Update or remove that package"
            ) from error
        if not isinstance(plugin, self._base) or plugin.name != name:
            raise RegistrationError(
                f"the entry point {point.value!r} of the {self.kind} {name!r} gives {plugin!r}: expected an instance "
                f"of {self._base.__module__}.{self._base.__qualname__} with that name"
            )
        return self._plugins.setdefault(name, plugin)

    def loadable(self) -> tuple[PluginT, ...]:
        """Every plug-in that can be loaded, in the order of names; warns once of each that cannot."""
        found = []
        for name in self.names():
            try:
                found.append(self.load(name))
            except RegistrationError as error:
                if name not in self._warned:
                    self._warned.add(name)
                    warnings.warn(f"ffbridge: {error}", RuntimeWarning, stacklevel=2)
        return tuple(found)

    def info(self) -> tuple[BackendInfo, ...]:
        """One entry for each name. Imports the frameworks that are installed; warns of plug-ins that fail."""
        loaded = {plugin.name: plugin for plugin in self.loadable()}
        return tuple(self._describe(name, loaded.get(name)) for name in self.names())

    def _describe(self, name: str, plugin: PluginT | None) -> BackendInfo:
        info = BackendInfo(
            name=name,
            available=False,
            version=None,
            devices=(),
            abilities=(),
            install="",
            problem="it cannot be loaded",
        )
        if plugin is None:
            return info
        try:
            plugin.require()
            devices = plugin.devices()
            return replace(
                info,
                available=bool(devices),
                version=plugin.version(),
                devices=devices,
                abilities=plugin.abilities(),
                install=plugin.install,
                problem=None if devices else "it finds no device on this machine",
            )
        except MissingDependencyError as error:
            return replace(info, install=plugin.install, problem=str(error))
        except Exception as error:  # noqa: BLE001  (one plug-in's fault must not hide the others)
            problem = f"{type(error).__name__}: {error}"
            warnings.warn(f"ffbridge: the {self.kind} {name!r} fails: {problem}", RuntimeWarning, stacklevel=4)
            return replace(info, install=plugin.install, problem=problem)


# mypy takes only concrete classes for type[...], whether or not they are made into instances.
_BACKENDS: Registry[Backend] = Registry(
    "backend",
    Backend,  # type: ignore[type-abstract]
    group="ffbridge.backends",
    install='pip install "ffbridge[torch,jax]"',
)
_ENGINES: Registry[Engine] = Registry(
    "engine",
    Engine,  # type: ignore[type-abstract]
    group="ffbridge.engines",
    install='pip install "ffbridge[native,torch,jax,openmm]"',
)
_OWNERS: WeakKeyDictionary[type, Backend] = WeakKeyDictionary()


def register_backend(backend: Backend, *, override: bool = False) -> None:
    """Adds an array backend for this process; errors as `Registry.register`."""
    _BACKENDS.register(backend, override=override)
    _OWNERS.clear()


def register_engine(engine: Engine, *, override: bool = False) -> None:
    """Adds an engine for this process; errors as `Registry.register`."""
    _ENGINES.register(engine, override=override)


def get_backend(name: str) -> Backend:
    """The array backend of that name; errors as `Registry.get`."""
    return _BACKENDS.get(name)


def get_engine(name: str) -> Engine:
    """The engine of that name; errors as `Registry.get`."""
    return _ENGINES.get(name)


def loaded_backends() -> tuple[Backend, ...]:
    """The backends whose framework somebody has imported; imports none."""
    return tuple(backend for backend in _BACKENDS.loadable() if backend.is_loaded())


def backends() -> tuple[BackendInfo, ...]:
    """All array backends, installed or not: versions, devices, what each can do. Imports those that are installed."""
    return _BACKENDS.info()


def engines() -> tuple[BackendInfo, ...]:
    """All engines, installed or not: versions, devices, what each can do. Imports those that are installed."""
    return _ENGINES.info()


def backend_of(array: Array) -> Backend:
    """The backend to which an array belongs, by its type; imports no framework.

    Raises:
        ExchangeError: it is no array, or an array of a framework that no backend knows.
    """
    kind = type(array)
    owner = _OWNERS.get(kind)
    if owner is None:
        owner = _OWNERS[kind] = _find_owner(array)
    return owner


def _find_owner(array: Array) -> Backend:
    # An array's framework is imported already, so a backend whose framework is not cannot be its owner.
    loaded = loaded_backends()
    for backend in loaded:
        if isinstance(array, backend.array_types):
            return backend
    told = next(filter(None, (backend.about(array) for backend in loaded)), None)
    kind = f"{type(array).__module__}.{type(array).__qualname__}".removeprefix("builtins.")
    raise ExchangeError(
        told
        or f"{kind} is not an array of any backend ({', '.join(_BACKENDS.names())}). "
        "Make an array of it first, as with numpy.asarray, or register a backend for its framework"
    )
