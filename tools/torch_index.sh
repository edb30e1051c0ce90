#!/bin/sh
# Print pip's option for torch's own index ($1), which carries builds without CUDA, where it can be reached.
"${PYTHON:-python3}" -c "import urllib.request as u; u.urlopen('$1/torch/', timeout=5)" 2>/dev/null &&
	printf -- '--extra-index-url %s' "$1"
exit 0
