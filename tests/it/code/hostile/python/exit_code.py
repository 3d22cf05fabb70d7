# expect: CODE_FAILED
# Asks for an exit with an odd code.
import sys
sys.exit(77)
