# expect: CODE_FAILED
# Opens relative to a directory's descriptor.
import os
root = os.open('/', os.O_PATH | os.O_DIRECTORY)
result = os.read(os.open('etc/passwd', os.O_RDONLY, dir_fd=root), 100).decode()
