# expect: CODE_FAILED
# Maps memory that is no object.
import mmap
hoard = []
while True:
    hoard.append(mmap.mmap(-1, 1 << 24))
