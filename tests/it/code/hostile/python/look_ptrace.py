# expect: SUCCESS
# Traces the service.
import importlib, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
libc = ctypes.CDLL(None, use_errno=True)
attached = libc.ptrace(16, data['pid'], 0, 0)
own = libc.ptrace(0, 0, 0, 0)
result = [attached, own] if attached == 0 or own == 0 else []
