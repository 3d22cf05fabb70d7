# expect: CODE_FAILED
# Lists its descriptors.
import os
result = os.listdir('/proc/self/fd')
