from .app import make_app
from .keys import Keys
from .local import RunningServer, find_server
from .mcp_server import make_mcp, run_mcp
from .run import serve, serving
from .settings import ServeSettings

__all__ = [
    "Keys",
    "RunningServer",
    "ServeSettings",
    "find_server",
    "make_app",
    "make_mcp",
    "run_mcp",
    "serve",
    "serving",
]
