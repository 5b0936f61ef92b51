"""The forms of the pages about accounts. Each carries its proof against foreign ones (Flask-WTF)."""

from __future__ import annotations

from typing import Any

from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, PasswordField, SelectChoice, SelectField, StringField, ValidationError
from wtforms.validators import DataRequired

from app.auth.passwords import check_password
from app.errors import InvalidPayload


def _new_password(_: FlaskForm, field: Any) -> None:
    try:
        check_password(field.data or "")
    except InvalidPayload as error:
        raise ValidationError(error.message) from None


class LogInForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    login = StringField("Login", [DataRequired("Your login, please")])
    password = PasswordField("Password", [DataRequired("Your password, please")])
    next = HiddenField()


class RegisterForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    login = StringField("Login", [DataRequired("An e-mail address or a name, please")])
    name = StringField("Name")
    password = PasswordField("Password", [DataRequired("A password, please"), _new_password])
    next = HiddenField()


class NameForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    name = StringField("Name", [DataRequired("A name, please")])


class PasswordForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    current = PasswordField("Present password", [DataRequired("Your present password, please")])
    password = PasswordField("New password", [DataRequired("A new password, please"), _new_password])


class DeletionForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    deletion_password = PasswordField("Password", [DataRequired("Your password, please")])


class TokenForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    token_name = StringField("Name", [DataRequired("A name, please, to know the token by")])
    read = BooleanField("Read", default=True)
    write = BooleanField("Write", default=True)
    admin = BooleanField("Administer")
    days = SelectField(
        "Ends",
        choices=[
            SelectChoice("7", "in 7 days"),
            SelectChoice("30", "in 30 days"),
            SelectChoice("90", "in 90 days"),
            SelectChoice("365", "in a year"),
            SelectChoice("0", "never"),
        ],
        default="90",
    )

    def scopes(self) -> tuple[str, ...]:
        """Those that were chosen."""
        return tuple(name for name in ("read", "write", "admin") if self[name].data)


class EmptyForm(FlaskForm):  # type: ignore[misc]  # Flask-WTF has no types
    """A button."""
