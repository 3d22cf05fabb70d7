# expect: CODE_FAILED
# Asks for a temporary file.
import tempfile
result = tempfile.mkstemp()
