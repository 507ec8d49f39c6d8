"""The kinds of receivers, by the name that the configuration gives as `kind`.

To add a kind, write a subclass of `Receiver` in a module of its own, with its name as the field `kind` (`kind:
Literal["pager"]`), its settings, and `deliver`, and add it here. The configuration then takes it under `notify`, the
notifier delivers to it with retries, and `python -m qualitrace_monitors.config.reference` lists its settings.
"""

from qualitrace_monitors.notify.alertmanager import Alertmanager
from qualitrace_monitors.notify.apprise_url import AppriseUrl
from qualitrace_monitors.notify.receiver import Receiver
from qualitrace_monitors.notify.webhook import Webhook

KINDS = Receiver.kinds
KINDS.update(webhook=Webhook, alertmanager=Alertmanager, apprise=AppriseUrl)
