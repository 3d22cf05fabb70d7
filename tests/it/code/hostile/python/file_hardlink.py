# expect: CODE_FAILED
# Makes a second name for a file.
import os
os.link(data['file'], data['file'] + '.link')
