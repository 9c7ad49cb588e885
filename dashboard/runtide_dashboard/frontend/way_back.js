// A login ends at the first page: lead on to the address that one came by, which this tab remembers meanwhile.

const KEY = "runtide-way-back";

export default function wayBack({ data }) {
  if (!data.logged_in) {
    sessionStorage.setItem(KEY, location.href);
    return;
  }
  const wanted = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (wanted?.startsWith(`${location.origin}/`) && wanted !== location.href) location.replace(wanted);
}
