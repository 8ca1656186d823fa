# SPDX-License-Identifier: LGPL-2.1-or-later
"""A client of the service for tests: proxies made from interfaces/*.xml, signals as a list, errors by name."""

import contextlib
import glob
import time

from gi.repository import Gio, GLib

from harness import BUS_NAME, SLOWNESS, SOURCE, wait_until

ROOT = "/org/example/Storage1"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
MIB = 1024 * 1024

# Of a pool's properties: they are its file system's, to which the journal and others write at any moment.
SHARED_SIZES = ("Capacity", "Allocation", "Available")
# States of a job that is over.
ENDED = ("succeeded", "failed", "cancelled")

# Types of the options and definition keys, where Python's own type does not tell.
TYPES = {
    "source-hosts": "a(sq)", "source-devices": "as", "adapter": "a{ss}", "mount-options": "as", "mode": "u",
    "owner": "u", "group": "u", "limit": "u", "backing": "o", "devices": "as", "spares": "u",
}


def load_interfaces():
    found = {}
    for path in sorted(glob.glob(SOURCE + "/interfaces/*.xml")):
        with open(path, encoding="utf-8") as f:
            for interface in Gio.DBusNodeInfo.new_for_xml(f.read()).interfaces:
                found[interface.name] = interface
    return found


INTERFACES = load_interfaces()


def full_name(interface):
    return interface if interface.startswith("org.") else f"{BUS_NAME}.{interface}"


def in_signature(interface, method):
    info = INTERFACES[full_name(interface)].lookup_method(method)
    return "(" + "".join(arg.signature for arg in info.in_args) + ")"


def vardict(values):
    """A dict as a{sv}: GLib.Variant values stay, others are typed by TYPES or by what they are in Python."""
    result = {}
    for key, value in values.items():
        if isinstance(value, dict) and key == "raid":
            value = GLib.Variant("a{sv}", vardict(value))
        if not isinstance(value, GLib.Variant):
            kind = TYPES.get(key) or {bool: "b", str: "s", int: "t"}[type(value)]
            value = GLib.Variant(kind, value)
        result[key] = value
    return result


def split_types(signature):
    """The single complete types of "(…)", as strings."""
    found, start, depth = [], 1, 0
    for i in range(1, len(signature) - 1):
        depth += signature[i] in "({"
        depth -= signature[i] in ")}"
        if depth == 0 and signature[i] != "a":
            found.append(signature[start:i + 1])
            start = i + 1
    return found


def pack(signature, args):
    """Arguments as one tuple variant; dicts in the place of a{sv} are made into variants."""
    items = [vardict(arg) if kind == "a{sv}" else arg for kind, arg in zip(split_types(signature), args)]
    return GLib.Variant(signature, tuple(items))


def steady(pool_properties):
    """A pool's properties but for those that change though nobody touches the pool: for comparisons."""
    return {name: value for name, value in pool_properties.items() if name not in SHARED_SIZES}


def error_name(error):
    return Gio.DBusError.get_remote_error(error) or ""


def error_text(error):
    return error.message.split(": ", 1)[-1]


class Refusal:
    """What refused() caught."""

    name = text = ""


@contextlib.contextmanager
def refused(*names):
    """The calls inside must fail with one of these errors; short names are the service's own."""
    known = ("AccessDenied", "InteractiveAuthorizationRequired", "LimitsExceeded", "UnknownObject",
             "UnknownMethod", "InvalidArgs", "NoReply", "UnknownInterface")
    full = [f"org.freedesktop.DBus.Error.{n}" if n in known else f"{BUS_NAME}.Error.{n}" for n in names]
    refusal = Refusal()
    try:
        yield refusal
    except GLib.Error as error:
        refusal.name, refusal.text = error_name(error), error_text(error)
        assert refusal.name in full, f"expected {full}, got {refusal.name}: {error.message}"
        assert len(refusal.text) > 5, f"{refusal.name} says nothing: '{error.message}'"
        return
    raise AssertionError(f"expected {full}, but the call succeeded")


class Pending:
    """A call under way."""

    def __init__(self):
        self.done = False
        self.result = self.error = None
        self.started = time.monotonic()
        self.seconds = None

    def finish(self, connection, result):
        self.seconds = time.monotonic() - self.started
        try:
            self.result = connection.call_finish(result).unpack()
        except GLib.Error as error:
            self.error = error
        self.done = True

    def wait(self, timeout=30):
        iterate_until(lambda: self.done, timeout, "the answer to a call")
        if self.error:
            raise self.error
        return self.result[0] if len(self.result) == 1 else self.result


def iterate(context=None):
    context = context or GLib.MainContext.default()
    while context.iteration(False):
        pass


def iterate_until(condition, timeout=10, what="condition"):
    def step():
        iterate()
        return condition()
    return wait_until(step, timeout, what, 0.002)


class Proxy:
    """One interface of one object: proxy.Method(args…) and proxy.get("Property")."""

    def __init__(self, service, path, interface):
        self.service, self.path, self.interface = service, path, full_name(interface)

    def __getattr__(self, method):
        if method.startswith("_"):
            raise AttributeError(method)

        def call(*args, **how):
            signature = in_signature(self.interface, method)
            if len(args) + 1 == len(split_types(signature)) and signature.endswith("a{sv})"):
                args = (*args, {})  # no options
            return self.service.call(self.path, self.interface, method, signature, args, **how)
        return call

    def start(self, method, *args, flags=0, timeout=60, fds=None):
        """Begins a call and returns a Pending."""
        return self.service.start(self.path, self.interface, method, in_signature(self.interface, method), args,
                                  flags=flags, timeout=timeout, fds=fds)

    def get(self, name):
        return self.service.call(self.path, PROPERTIES, "Get", "(ss)", (self.interface, name))

    def all(self):
        return self.service.call(self.path, PROPERTIES, "GetAll", "(s)", (self.interface,))

    def wait_for(self, name, wanted, timeout=10):
        """Waits until a property has a value, or one for which wanted(value) is true, and gives it."""
        fits = wanted if callable(wanted) else lambda value: value == wanted
        value = None

        def look():
            nonlocal value
            value = self.get(name)
            return fits(value)
        try:
            wait_until(look, timeout)
        except AssertionError:
            told = "what is waited for" if callable(wanted) else repr(wanted)
            raise AssertionError(f"{name} of {self.path} is {value!r}, not {told}") from None
        return value


class Service:
    """The service as one client sees it."""

    def __init__(self, connection):
        self.connection = connection
        self.manager = Proxy(self, ROOT, "Manager")

    def proxy(self, path, interface):
        return Proxy(self, path, interface)

    def pool(self, path):
        return Proxy(self, path, "Pool")

    def volume(self, path):
        return Proxy(self, path, "Volume")

    def job(self, path):
        return Proxy(self, path, "Job")

    def call(self, path, interface, method, signature="()", args=(), timeout=30, flags=0, fds=None, want_fds=False):
        """The out-arguments: alone, as a tuple, or with the descriptors as (arguments, [fd, …])."""
        fd_list = Gio.UnixFDList() if fds else None
        for fd in fds or []:
            fd_list.append(fd)
        reply, out = self.connection.call_with_unix_fd_list_sync(
            BUS_NAME, path, full_name(interface), method, pack(signature, args), None, Gio.DBusCallFlags(flags),
            int(timeout * SLOWNESS * 1000), fd_list, None)
        values = reply.unpack()
        values = values[0] if len(values) == 1 else values
        return (values, out.steal_fds() if out else []) if want_fds else values

    def start(self, path, interface, method, signature="()", args=(), timeout=60, flags=0, fds=None):
        pending = Pending()
        fd_list = Gio.UnixFDList() if fds else None
        for fd in fds or []:
            fd_list.append(fd)
        self.connection.call_with_unix_fd_list(BUS_NAME, path, full_name(interface), method, pack(signature, args), None,
                                               Gio.DBusCallFlags(flags), int(timeout * SLOWNESS * 1000), fd_list, None,
                                               pending.finish)
        return pending

    def pool_names(self, **options):
        """The pools, but for the one that comes with the package."""
        return [row[1] for row in self.manager.ListPools(options) if row[1] != "default"]

    def pool_rows(self, **options):
        """The rows of ListPools but for the sizes that change by themselves: for comparisons."""
        return [row[:7] + row[10:] for row in self.manager.ListPools(options)]

    def objects(self, path=ROOT):
        return self.call(path, OBJECT_MANAGER, "GetManagedObjects", timeout=60)

    def steady_objects(self):
        """The managed objects but for what changes by itself: sizes, and jobs that are over and soon forgotten."""
        found = {}
        for path, interfaces in self.objects().items():
            if interfaces.get(full_name("Job"), {}).get("State") in ENDED:
                continue
            found[path] = {name: steady(properties) if name == full_name("Pool") else properties
                           for name, properties in interfaces.items()}
        return found

    def volumes(self, pool):
        """{name: properties} of a pool's volumes, as its ObjectManager has them."""
        managed = self.objects(pool.get("Volumes"))
        found = [interfaces[full_name("Volume")] for interfaces in managed.values()]
        return {properties["Name"]: properties for properties in found}

    def make_pool(self, name, target, start=True, **options):
        definition = {"target-path": target}
        path, job = self.manager.DefinePool(name, "dir", definition, {"start": start, **options})
        assert job == "/", "the work is done when the answer comes"
        return self.pool(path)

    def make_volume(self, pool, name, capacity=MIB, **options):
        path, job = pool.CreateVolume(name, capacity, options)
        assert job == "/"
        return self.volume(path)

    def wait_volume(self, pool, name, timeout=10):
        """The volume, as soon as it is known."""
        def look():
            try:
                return self.volume(pool.GetVolume(name))
            except GLib.Error as error:
                if not error_name(error).endswith(".NotFound"):
                    raise
                return None
        return wait_until(look, timeout, f"volume {name}")

    def wait_gone(self, pool, name, timeout=10):
        wait_until(lambda: name not in self.volumes(pool), timeout, f"the end of volume {name}")

    def forget_pools(self, keep=()):
        """Stops and undefines all pools but those of these names."""
        for path, name, *_rest in self.manager.ListPools():
            if name in keep:
                continue
            pool = self.pool(path)
            state = pool.wait_for("State", lambda state: state in ("active", "inactive"))
            persistent = pool.get("Persistent")
            if state != "inactive":
                pool.Stop({"force": True})
            if persistent:
                pool.Undefine()

    def forget_secrets(self):
        """Removes all secrets, whoever needs them."""
        for usage, _uuid, _description in self.manager.ListSecrets():
            self.manager.RemoveSecret(usage, {"force": True})

    def wait_job(self, path, timeout=60):
        """The job's properties once it ended."""
        job = self.job(path)
        wait_until(lambda: job.get("State") in ENDED, timeout, f"the end of {path}")
        return job.all()

    def log(self):
        return SignalLog(self.connection)


class Signal:
    """One signal that came."""

    def __init__(self, path, interface, member, args):
        self.time = time.monotonic()
        self.path, self.interface, self.member, self.args = path, interface, member, args

    def __repr__(self):
        return f"{self.path} {self.interface.rsplit('.', 1)[-1]}.{self.member} {self.args}"


class SignalLog:
    """Every signal of the service since it was made."""

    def __init__(self, connection):
        self.connection = connection
        self.signals = []
        self.subscription = connection.signal_subscribe(None, None, None, None, None, Gio.DBusSignalFlags.NONE,
                                                        self._on_signal)
        # The match is in place once the bus has answered a later call.
        connection.call_sync("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", None,
                             None, Gio.DBusCallFlags.NONE, -1, None)

    def _on_signal(self, _connection, _sender, path, interface, member, args):
        if path.startswith(ROOT):
            self.signals.append(Signal(path, interface, member, args.unpack()))

    def settle(self, seconds=0.3):
        """Lets signals come in for so long."""
        end = time.monotonic() + seconds * SLOWNESS
        while time.monotonic() < end:
            iterate()
            time.sleep(0.005)

    def clear(self):
        self.settle()
        self.signals.clear()

    def wait_for(self, predicate, timeout=10, what="a signal"):
        """The first signal, of those that came or will come, for which predicate(signal) is true."""
        def look():
            return next((s for s in self.signals if predicate(s)), None)
        try:
            return iterate_until(look, timeout, what)
        except AssertionError as error:
            tail = "\n".join(map(repr, self.signals[-30:]))
            raise AssertionError(f"{error}; the last of {len(self.signals)} signals:\n{tail}") from None

    def select(self, member, path=None):
        iterate()
        return [s for s in self.signals if s.member == member and (path is None or s.path == path)]

    def wait_added(self, path, timeout=10):
        return self.wait_for(lambda s: s.member == "InterfacesAdded" and s.args[0] == path, timeout,
                             f"InterfacesAdded of {path}")

    def wait_removed(self, path, timeout=10):
        return self.wait_for(lambda s: s.member == "InterfacesRemoved" and s.args[0] == path, timeout,
                             f"InterfacesRemoved of {path}")

    def wait_changed(self, path, name, value=None, timeout=10):
        """PropertiesChanged with that property, and that value if one is given."""
        def fits(signal):
            if signal.member != "PropertiesChanged" or signal.path != path or name not in signal.args[1]:
                return False
            return value is None or signal.args[1][name] == value
        return self.wait_for(fits, timeout, f"a change of {name} of {path}")

    def of_new_pools(self, known):
        """What was told of pools that are not among the paths `known`. A job that lasts shows itself, and names the
        pool that it is making: that is left out."""
        iterate()
        told = [s for s in self.signals if "/job/" not in s.path and "/job/" not in str(s.args[:1])]
        about = [(s, s.path + str(s.args)) for s in told]
        return [s for s, text in about if "/pool/" in text and not any(path in text for path in known)]

    def close(self):
        self.connection.signal_unsubscribe(self.subscription)
