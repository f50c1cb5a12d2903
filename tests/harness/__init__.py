"""Starts whole Signalboxes and looks at them from outside; everything the e2e and chaos tests share."""
