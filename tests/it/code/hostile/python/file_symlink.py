# expect: CODE_FAILED
# Makes a link to a file and reads through it.
import os
os.symlink(data['file'], '/tmp/synapps-hostile-link')
result = open('/tmp/synapps-hostile-link').read()
