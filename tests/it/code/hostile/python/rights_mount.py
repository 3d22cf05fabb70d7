# expect: SUCCESS
# Mounts a file system, and makes namespaces to do so.
import importlib, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
libc = ctypes.CDLL(None, use_errno=True)
result = []
if libc.unshare(0x10000000 | 0x00020000) == 0:
    result.append('unshare')
if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) == 0:
    result.append('mount')
if libc.setns(3, 0) == 0:
    result.append('setns')
