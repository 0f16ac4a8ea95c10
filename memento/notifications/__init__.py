"""Telling people what happens in a run: on the console, in a file, by mail, webhook or Apprise."""

from memento.notifications.apprise import AppriseNotificationProvider
from memento.notifications.base import DefaultNotificationProvider, MessageProvider, NotificationProvider
from memento.notifications.console import ConsoleNotificationProvider
from memento.notifications.dispatch import ProviderListener
from memento.notifications.file import FileSystemNotificationProvider
from memento.notifications.mail import EmailNotificationProvider, SmtpConfiguration
from memento.notifications.message import Notification
from memento.notifications.policy import EVERY_EVENT, DigestPolicy, FailureDigest, RunSummary
from memento.notifications.webhook import WebhookNotificationProvider

__all__ = [
    "EVERY_EVENT",
    "AppriseNotificationProvider",
    "ConsoleNotificationProvider",
    "DefaultNotificationProvider",
    "DigestPolicy",
    "EmailNotificationProvider",
    "FailureDigest",
    "FileSystemNotificationProvider",
    "MessageProvider",
    "Notification",
    "NotificationProvider",
    "ProviderListener",
    "RunSummary",
    "SmtpConfiguration",
    "WebhookNotificationProvider",
]
