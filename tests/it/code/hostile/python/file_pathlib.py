# expect: CODE_FAILED
# Reads by pathlib.
import pathlib
result = pathlib.Path(data['file']).read_text()
