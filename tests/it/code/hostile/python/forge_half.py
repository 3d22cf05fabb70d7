# expect: CODE_KILLED
# Says that something is to come, and ends.
import os
os.write(3, b'\x09\0\0\0R12')
os._exit(0)
