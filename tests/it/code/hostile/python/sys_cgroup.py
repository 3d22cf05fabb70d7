# expect: CODE_FAILED
# Writes to the control groups.
open('/sys/fs/cgroup/release_agent', 'w').write('/tmp/x')
