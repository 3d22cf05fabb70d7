# expect: CODE_FAILED
# Makes a pipe with a name.
import os
os.mkfifo('/tmp/synapps-hostile-pipe')
