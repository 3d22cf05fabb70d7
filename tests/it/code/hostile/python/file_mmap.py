# expect: CODE_FAILED
# Maps a file into memory.
import mmap
with open(data['file'], 'r+b') as file:
    result = bytes(mmap.mmap(file.fileno(), 0)).decode()
