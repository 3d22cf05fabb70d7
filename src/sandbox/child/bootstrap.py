# Runs in the jailed interpreter: shuts the last doors, waits for one program, runs it and hands its result over.
# What a program does to anything in here it does to its own result only.
import ctypes
import json
import linecache
import math
import os
import re
import sys
import traceback


def send(kind, body):
    frame = memoryview(len(body).to_bytes(4, "little") + kind + body)
    while frame:
        frame = frame[os.write(channel, frame):]


def receive():
    def exactly(count):
        parts = []
        while count:
            part = os.read(channel, min(count, 1 << 20))
            if not part:
                os._exit(1)
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    header = exactly(5)
    return json.loads(exactly(int.from_bytes(header[:4], "little")))


def shut(filter):
    """From here on nothing can be executed, and no process or thread started."""
    if not filter:
        return "there is no filter"
    steps = bytes.fromhex(filter)

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]

    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = Program(len(steps) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    if prctl(22, 2, ctypes.byref(program), 0, 0) != 0:  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        return os.strerror(ctypes.get_errno())
    return None


def doors():
    """What can be opened although it should not."""
    import socket

    def tried(what):
        try:
            what()
            return True
        except OSError:
            return False

    attempts = {
        "a file": lambda: open("/etc/passwd"),
        "a directory": lambda: os.listdir("/proc/self"),
        "a socket": lambda: socket.socket(),
        "a process": lambda: os._exit(1) if os.fork() == 0 else None,
    }
    return [name for name, attempt in attempts.items() if tried(attempt)]


def settled(value):
    """The value with integers that JSON readers would change as text."""
    kind = type(value)
    if kind is int:
        return value if -(1 << 53) <= value <= 1 << 53 else str(value)
    if kind is dict:
        return {key: settled(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [settled(item) for item in value]
    return value


def line_of(error):
    if isinstance(error, SyntaxError) and error.filename == "<code>":
        return error.lineno or 0
    line, entry = 0, error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code.co_filename == "<code>":
            line = entry.tb_lineno
        entry = entry.tb_next
    return line


def stack_of(error):
    # Our own frame is the first.
    entry = error.__traceback__
    while entry is not None and entry.tb_frame.f_code.co_filename != "<code>":
        entry = entry.tb_next
    lines = traceback.format_exception(type(error), error, entry, limit=50)
    text = "".join(lines)
    if len(text) > 16384:
        # Without the message, which is told beside: what is cut in the middle of a secret would not be found.
        text = "".join(traceback.format_tb(entry, limit=50))
    return text[:16384]


def storable(text):
    """The text without halves of characters, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()


def described(error):
    try:
        message = storable(str(error)[:4096])
    except BaseException:
        message = "the exception cannot be printed"
    return message


def report(kind, error, exit_code=0):
    try:
        stack = storable(stack_of(error))
    except BaseException:
        stack = ""
    body = {
        "kind": kind,
        "type": storable(type(error).__name__[:256]),
        "message": described(error),
        "stack": stack,
        "line": line_of(error),
        "exit_code": exit_code,
    }
    send(b"E", json.dumps(body).encode())


def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass


def run(request):
    code = request.pop("code")
    names = {"__name__": "__main__", "__builtins__": __builtins__, "result": None}
    names["data"], names["context"] = request.pop("data"), request.pop("context")
    linecache.cache["<code>"] = (len(code), None, code.splitlines(True), "<code>")
    try:
        compiled = compile(code, "<code>", "exec")
    except MemoryError as error:
        return report("memory", error)
    except BaseException as error:
        return report("syntax", error)
    try:
        exec(compiled, names)
    except MemoryError as error:
        names.clear()
        flush()
        return report("memory", error)
    except SystemExit as error:
        exit_code = error.code if type(error.code) is int else int(error.code is not None)
        if exit_code:
            flush()
            return report("raised", error, exit_code)
    except BaseException as error:
        flush()
        return report("raised", error, 1)
    flush()
    try:
        result = settled(names.get("result"))
        text = json.dumps(result, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        send(b"R", text.encode())
    except MemoryError as error:
        names.clear()
        report("memory", error)
    except BaseException as error:
        report("result", error)


channel, inner, strictness = int(sys.argv[1]), sys.argv[2], sys.argv[3]
os.set_inheritable(channel, False)
refused = shut(inner)
if strictness == "strict":
    if refused:
        send(b"U", ("seccomp: " + refused).encode())
        os._exit(1)
    opened = doors()
    if opened:
        send(b"U", ("the jail does not hold: could open " + ", ".join(opened)).encode())
        os._exit(1)
# Whatever finds a way back to these finds the kernel's doors shut.
for name in [name for name in sys.modules if name.partition(".")[0] in ("ctypes", "_ctypes")]:
    sys.modules[name] = None
del ctypes
sys.argv = [""]
sys.stdout.reconfigure(line_buffering=True)
send(b"Y", b"")
# Given back when memory is used up, so that there is some to say so.
reserve = bytearray(1 << 20)
try:
    run(receive())
except BaseException as error:
    del reserve
    kind = b"memory" if isinstance(error, MemoryError) else b"raised"
    send(b"E", b'{"kind":"' + kind + b'","message":"the program could not be run to its end"}')
os._exit(0)
