# expect: CODE_FAILED
# Writes to the channel what nobody understands.
import os
os.write(3, b'\x05\0\0\0Zhello')
