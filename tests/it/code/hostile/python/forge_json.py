# expect: CODE_RESULT_INVALID
# Writes a result that is no JSON.
import os
os.write(3, b'\x03\0\0\0R{a}')
