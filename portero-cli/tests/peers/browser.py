"""Plays a person's browser: follows redirects, fills in the issuer's forms, and stops at the redirect URI.

Usage: browser.py URL NAME [--away] [--code CODE]
  NAME    the account that signs in
  CODE    what is typed into a page that asks for the code of another device
  --away  don't visit the redirect URI: a browser on another machine couldn't; print it instead
"""

import html
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar, DefaultCookiePolicy

URL, NAME = sys.argv[1], sys.argv[2]
IS_AWAY = "--away" in sys.argv[3:]
CODE = sys.argv[sys.argv.index("--code") + 1] if "--code" in sys.argv else None
MAX_STEPS = 30


class StayHere(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


opener = urllib.request.build_opener(
    StayHere, urllib.request.HTTPCookieProcessor(CookieJar(DefaultCookiePolicy())), urllib.request.ProxyHandler({})
)


def visit(url, form=None):
    """Returns the target of a redirect, or none, and the page."""
    data = urllib.parse.urlencode(form).encode() if form else None
    try:
        with opener.open(urllib.request.Request(url, data=data), timeout=60) as response:
            return None, response.read().decode()
    except urllib.error.HTTPError as error:
        page = error.read().decode()
        if error.code in (302, 303, 307):
            return urllib.parse.urljoin(url, error.headers["Location"]), page
        raise SystemExit(f"{error.code} at {url}: {page[:500]}")


def read_form(url, page):
    """Returns where a page's form is sent, and what is filled in; none where it has no form."""
    found = re.search(r'<form[^>]*action="([^"]*)"', page)
    if not found:
        return None
    fields = {}
    for field in re.findall(r"<input[^>]*>", page):
        name = re.search(r'name="([^"]*)"', field)
        value = re.search(r'value="([^"]*)"', field)
        if name:
            fields[name.group(1)] = html.unescape(value.group(1)) if value else ""
    if "login" in fields:
        fields["login"] = NAME
    if "password" in fields:
        fields["password"] = "any"
    if "user_code" in fields and not fields["user_code"]:
        fields["user_code"] = CODE
    return urllib.parse.urljoin(url, html.unescape(found.group(1))), fields


url, form = URL, None
for _ in range(MAX_STEPS):
    is_answer = urllib.parse.urlsplit(url).path == "/callback"
    if is_answer and IS_AWAY:
        print(url)
        raise SystemExit(0)
    target, page = visit(url, form)
    if target:
        url, form = target, None
    elif is_answer:
        print(page)
        raise SystemExit(0)
    else:
        next_form = read_form(url, page)
        if next_form is None and CODE:
            print(page)
            raise SystemExit(0)
        if next_form is None:
            raise SystemExit(f"no form at {url}: {page[:500]}")
        url, form = next_form
raise SystemExit("the login has no end")
