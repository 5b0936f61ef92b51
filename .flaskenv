# so that `flask colloquy …` finds the application; settings belong into .env
FLASK_APP=app
