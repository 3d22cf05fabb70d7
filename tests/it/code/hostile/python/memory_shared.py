# expect: CODE_FAILED
# Makes memory that others can share.
from multiprocessing import shared_memory
shared_memory.SharedMemory(create=True, size=1_000_000)
