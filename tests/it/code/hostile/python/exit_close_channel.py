# expect: CODE_KILLED
# Closes the channel and ends.
import os
os.close(3)
result = 5
