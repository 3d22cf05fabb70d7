# expect: CODE_FAILED
# Imports ctypes.
import ctypes
