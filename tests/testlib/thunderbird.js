// What the tests do inside Thunderbird's main window; each is a step of a user, or looks at what a user sees.
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const root = MailServices.accounts.accounts.map(account => account.incomingServer).find(server => server.type == "imap").rootFolder;
const pane = document.getElementById("tabmail").currentAbout3Pane;
const view = pane?.gDBView;

// As if "Use Password Manager to remember this password" had been ticked.
async function storePassword(user, password) {
  const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
  login.init("imap://127.0.0.1", null, "imap://127.0.0.1", user, password, "", "");
  await Services.logins.addLoginAsync(login);
}

// What the server calls a folder. For INBOX, `name` is "Inbox" in version 140, and "INBOX" in 153.
function mailbox(folder) {
  return decodeURIComponent(folder.URI.slice(root.URI.length + 1));
}

function folder(name) {
  return root.subFolders.find(each => mailbox(each) == name);
}

// Click on a folder; false while there is none of that name.
function show(name) {
  const wanted = folder(name);
  if (wanted && pane?.gFolder != wanted) {
    pane.displayFolder(wanted.URI);
  }
  return Boolean(wanted);
}

// The folders, with what Thunderbird takes each for.
function folders() {
  const uses = { Inbox: "inbox", Drafts: "drafts", SentMail: "sent", Archive: "archive", Junk: "junk", Trash: "trash" };
  const use = each => Object.keys(uses).filter(flag => each.getFlag(Ci.nsMsgFolderFlags[flag])).map(flag => uses[flag]);
  return Object.fromEntries(root.subFolders.map(each => [mailbox(each), use(each).join()]));
}

function headers() {
  return Array.from({ length: view?.rowCount ?? 0 }, (_none, row) => view.getMsgHdrAt(row));
}

// The message list, newest first.
function subjects() {
  return headers().map(header => header.mime2DecodedSubject);
}

function header(subject) {
  return headers().find(each => each.mime2DecodedSubject == subject);
}

// Click on a message in the list.
function select(subject) {
  pane.threadTree.selectedIndex = subjects().indexOf(subject);
}

// The text of the message pane, empty until it is there.
function shown(subject) {
  const about = document.getElementById("tabmail").currentAboutMessage;
  const body = about?.document.getElementById("messagepane").contentDocument?.body;
  const there = about?.msgLoaded && about.gMessage?.mime2DecodedSubject == subject;
  return there && body ? body.textContent : "";
}

function attachments() {
  return document.getElementById("tabmail").currentAboutMessage.currentAttachments.map(each => each.name);
}

// The line at the bottom of the window.
function status() {
  return document.getElementById("statusText").value;
}

function press(command) {
  pane.commandController.doCommand(command);
}
