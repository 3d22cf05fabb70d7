# expect: SUCCESS
# Runs machine code of its own, which meets the same kernel.
import importlib, mmap, platform, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
result = []
if platform.machine() == 'x86_64':
    page = mmap.mmap(-1, 4096, prot=7)
    # mov eax, 57 (fork); syscall; ret
    page.write(b'\xb8\x39\0\0\0\x0f\x05\xc3')
    fork = ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if fork() >= 0:
        result = ['forked']
