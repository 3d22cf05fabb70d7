# expect: CODE_FAILED
# Reads the environment of the service.
import os
result = open('/proc/%d/environ' % os.getppid()).read()
