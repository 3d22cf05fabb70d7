# expect: CODE_FAILED
# Brings ctypes back and calls the kernel.
import importlib, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
libc = ctypes.CDLL(None, use_errno=True)
reached = []
for number in (41, 57, 58, 59, 101, 165, 310, 321, 425, 435):
    if libc.syscall(number, 0, 0, 0, 0, 0) >= 0:
        reached.append(number)
raise RuntimeError('refused') if not reached else SystemExit(0)
