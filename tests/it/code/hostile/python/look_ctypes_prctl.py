# expect: SUCCESS
# Takes back what it has given up.
import importlib, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
libc = ctypes.CDLL(None, use_errno=True)
# PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_SET_DUMPABLE, PR_SET_PDEATHSIG, PR_SET_PTRACER
result = [option for option in (38, 22, 4, 1, 0x59616d61) if libc.prctl(option, 0, 0, 0, 0) == 0]
