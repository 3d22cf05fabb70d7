# expect: CODE_FAILED
# Says again that it is ready, to be given another's program.
import os
os.write(3, b'\0\0\0\0Y')
result = os.read(3, 100).decode()
