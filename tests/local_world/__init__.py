"""AWS and Infobip on this machine, and the tools that run our code with them."""
