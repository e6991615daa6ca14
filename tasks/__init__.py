"""What can be asked: messages, where they go, and the Producer. Celery is known here; libvirt never is."""
