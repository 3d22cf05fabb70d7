# expect: TIMEOUT
# Reads from the channel, where nothing comes.
import os
os.read(3, 1)
