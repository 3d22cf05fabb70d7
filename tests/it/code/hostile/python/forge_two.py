# expect: SUCCESS
# Writes two results.
import os
os.write(3, b'\x02\0\0\0R[]\x03\0\0\0R[1]')
