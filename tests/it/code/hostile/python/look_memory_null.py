# expect: CODE_KILLED
# Reads where nothing is.
import importlib, sys
for name in [name for name in sys.modules if sys.modules[name] is None]:
    del sys.modules[name]
importlib.import_module('ctypes').string_at(0)
