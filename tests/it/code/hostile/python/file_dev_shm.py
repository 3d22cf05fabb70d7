# expect: CODE_FAILED
# Writes to shared memory.
open('/dev/shm/synapps-hostile', 'w').write('x')
