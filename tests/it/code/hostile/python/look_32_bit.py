# expect: CODE_KILLED or SUCCESS
# Calls the kernel as a 32-bit program does, which filters are known to forget.
import importlib, mmap, platform, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
ctypes = importlib.import_module('ctypes')
result = []
if platform.machine() == 'x86_64':
    page = mmap.mmap(-1, 4096, prot=7)
    # mov eax, 2 (fork in the 32-bit table); int 0x80; ret
    page.write(b'\xb8\x02\0\0\0\xcd\x80\xc3')
    fork = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    if fork() >= 0:
        result = ['forked']
