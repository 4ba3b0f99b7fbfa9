"""What people see: tables and progress on the terminal, pages and figures in a folder.

Drawn from the documents that runs leave; nothing here fits, scores or chooses.
"""
