# expect: CODE_FAILED
# Takes descriptors of the service.
import os
result = os.listdir('/proc/%d/fd' % data['pid'])
